"""The commands of the shell, a module each; what `batch` shows is in `batch_output`."""
