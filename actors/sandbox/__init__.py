"""The sandbox: programs written by a model go in, verdicts come out, and nothing else changes.

    dispatch.py     outside: which lane and zygote each program takes, what is run again; schedule.py keeps the books
    supervisor.py   outside: starts a zygote, feeds it, watches it, replaces it
    zygote.py       inside: one locked-down interpreter, one forked child per program (or per screened batch)
    preparation.py  what it loads and forgets before it forks; ending.py  how its children ended
    layers.py       what locks it down; seccomp.py and syscalls.py are the system-call policy
    program.py      what is handed in: programs and limits
    child.py        runs one program and reports what it claims
    screen.py       decides which programs may share a child
    probes.py       tries each forbidden act, against targets.py, and grades what held
    verdict.py      turns observed facts and the claim, in this order of trust, into a verdict
    wire.py, values.py   the binary formats between them; profiles.py  the preloaded modules; kernel.py  raw calls

Standard library only; nothing here needs root, a compiler or a container runtime. `docs/sandbox.md` says what
it withstands and what it does not cover.
"""
