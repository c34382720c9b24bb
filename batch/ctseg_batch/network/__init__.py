"""The model on a device, and the fallback when the device fails."""
