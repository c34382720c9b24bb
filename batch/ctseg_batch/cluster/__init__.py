"""The same run on a Ray cluster: the driver plans and notes, workers do bundles of scans with a session each."""
