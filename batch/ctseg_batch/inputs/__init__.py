"""The inputs: files found, identified and sorted into sites; which series are wanted; the truth beside them."""
