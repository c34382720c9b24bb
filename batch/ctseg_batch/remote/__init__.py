"""Inputs and OUT in stores and on servers, by URL: fetched before they are read, stored before they are noted."""
