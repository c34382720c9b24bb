"""The outputs: files of slices and of whole scans, and how they are written whole or not at all."""
