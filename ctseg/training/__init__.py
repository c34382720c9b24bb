"""The wing that needs torch: U-Nets, data sets, losses, the fit. Export gets to see only a checkpoint file."""
