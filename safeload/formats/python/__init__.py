"""What Python source would do, read from its syntax tree. Nothing is compiled, imported or run.

`source` turns bytes into a tree, `scopes` says which names are bound where, `values` and `folding` say what an
expression stands for, and `facts` lists what the source uses: names in full, whatever they are called in it.
"""
