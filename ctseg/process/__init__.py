"""What a command does as a process: it holds a folder, replaces files whole, ends in order, shows how far it is."""
