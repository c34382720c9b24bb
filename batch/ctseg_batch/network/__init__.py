"""The model on a device, and what to do where the device fails."""
