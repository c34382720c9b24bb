"""The interface for programs: a Segmenter, what it takes (paths, arrays, found scans) and what it returns."""
