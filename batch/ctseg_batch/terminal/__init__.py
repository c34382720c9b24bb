"""What people see of a run on their terminal."""
