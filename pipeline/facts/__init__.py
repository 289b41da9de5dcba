"""What DVC cannot see by itself, written down for it: the code that a cell runs, and the files it is given.

    python -m pipeline.facts

in the folder of a study leaves facts.json there. The stages of dvc.yaml list its entries as parameters:

    code     stage -> data -> backbone -> sae -> a hash of what the stage executes (closure.py), with those
             levels of the grid that conf/<stage>.yaml composes
    images   data -> a hash of the state of all files that conf/data/<data>.yaml names as paths or globs
             (inputs.py); null where it names none
    weights  backbone -> the same for conf/backbone/<backbone>.yaml, and `pretrained` for conf/sae/<sae>.yaml
    notes    a hash of what has been noted of latents. As a dependency, their folder would be a column of
             `dvc exp show`.

DVC runs this whenever it is asked for anything, so it must be quick: neither Hydra nor torch is imported.
"""
