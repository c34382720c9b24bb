"""A run on a Ray cluster: the driver plans and records, workers with a session each do bundles of sites."""

MODULE, EXTRA = "ray.data", "ray"
