"""The sandbox: programs written by a model go in, verdicts come out, and nothing else changes.

    host/      outside, beside the caller                     inside/   in the locked-down processes
      program      what is handed in: programs and limits       zygote       one interpreter, a forked child per program
      dispatch     which lane and zygote each program takes,                  (or per screened batch)
                   what is run again; schedule: its state      preparation  what it loads and forgets before it forks
      supervisor   starts a zygote, feeds it, watches it,        layers       what locks it down; seccomp and syscalls
                   replaces it                                                are the policy, kernel the raw calls
      verdict      turns observed facts and the claim, in        child        runs one program, reports what it claims
                   this order of trust, into a verdict           screen       which programs may share a child
      isolation    the grade of what held                        ending       how children ended
      targets      what the probes aim at                        probes       tries each forbidden act

    wire, values   the binary formats between the two sides; profiles   the modules that are loaded beforehand

Standard library only; nothing here needs root, a compiler or a container runtime. `docs/sandbox.md` says what
it withstands and what it does not cover.
"""
