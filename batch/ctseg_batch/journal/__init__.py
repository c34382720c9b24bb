"""What was done, noted line by line, so that the same call goes on where one was stopped."""
