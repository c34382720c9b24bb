"""Data sets: slices of patients with masks, or with what is known of each; and what a model learnt from.

`dataset` reads a folder, by its `description` (which `mask_meaning` and `tables` belong to) or else by its
`patient_folders`. A model file keeps digests of the patients: `learnt_groups`.
"""
