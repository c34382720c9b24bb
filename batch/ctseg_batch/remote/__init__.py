"""Inputs and OUT in stores and on servers: fetched before they are read, stored before they are recorded."""
