"""Turn a checkpoint into a self-describing ONNX file: the graph, in full or lower precision, and the proof."""
