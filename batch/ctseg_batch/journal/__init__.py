"""The journal of what was done, line by line, so that the same call continues where one was stopped."""
