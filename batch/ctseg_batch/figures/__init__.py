"""The figures of all scans: added up, joined over runs, written as tables."""
