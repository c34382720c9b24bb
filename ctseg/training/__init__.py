"""Training, the part that needs torch: U-Nets, data sets, losses, the fit. Export sees only a checkpoint file."""
