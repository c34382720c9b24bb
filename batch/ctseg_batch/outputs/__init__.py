"""What is written: of a slice, of a scan; and how it comes to its place whole."""
