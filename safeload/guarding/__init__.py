"""The whole process under guard: an unmodified program's loaders are replaced by ours. `safeload.guard()` is the door.

    import safeload

    safeload.guard()            # from here on, this process refuses unsafe loads

| file | what |
|---|---|
| `state` | what is in force, and what was refused |
| `doors` | the kinds of doors, and what happens to a call that comes through one |
| `libraries/` | one file per library: which of its loaders are doors, and what stands in each |
| `callers` | who may go on unpickling: processes that talk to each other, caches |
| `rebind` | a genuine function, wherever it was bound before |
| `imports` | doors of modules that are imported later |
| `hook` | the tripwire beneath |
| `children`, `start/` | processes that a guarded one starts |

Named `guarding`, because `safeload.guard` is the function.
"""
