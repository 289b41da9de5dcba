"""What DVC cannot see by itself, written down for it: the code that a cell runs, and the files it is given.

    python -m pipeline.facts [root=studies/birds/]

leaves facts.json in the root, the folder of a study whose grid is conf/study.yaml there; without one, in that
of the embedded study, here. The stages of dvc.yaml list its entries among their parameters:

    code     stage -> data -> backbone -> sae -> a hash of what the stage executes (closure.py), with those
             levels of the grid that conf/<stage>.yaml composes
    images   data -> a hash of the state of all files that conf/data/<data>.yaml names as paths or globs
             (inputs.py); null where it names none
    weights  backbone -> the same for conf/backbone/<backbone>.yaml

DVC runs this whenever it is asked for anything, so it must be quick: neither Hydra nor torch is imported.
"""
