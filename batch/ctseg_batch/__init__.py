"""The command line over folders of CT.

The data go `discover` -> `plan` -> `pipeline` (read, label, write; `engine`, `outputs`, `truth`) -> `tally` ->
`record` -> `summary` -> `table`; `run` holds it together and `command` is its face.
"""
