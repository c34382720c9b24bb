"""The parts of a run (a series, a stack, a volume, some images): planned, labelled by the workers, and added up."""
