"""What comes in: files found, told apart, and sorted into sites; which series are wanted; the truth beside them."""
