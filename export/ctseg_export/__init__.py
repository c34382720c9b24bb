"""A checkpoint becomes a self-describing ONNX file: the graph, the same in half precision, the proof."""
