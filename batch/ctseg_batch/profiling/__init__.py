"""How fast a run is, where its time goes, and how far it is from what the machine can do."""
