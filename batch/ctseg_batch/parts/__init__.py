"""The parts of a run, each a series, a stack or some images: planned, labelled by whoever is free, and added up."""
