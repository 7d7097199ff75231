"""What would go wrong with a run, found in a minute before it costs a night: `raydistill doctor`.

    registry.CHECKS, from the cheap to the dear        machine   versions, sandbox, disk
      each: Checkup -> Findings                        memory    engines and trainer against what is there
                                                       questions evaluation set against training
    Checkup   the configuration, its questions,        tokens    template, stop token, vocabulary, lengths
              tokens and engines, made when            remote    a teacher behind a URL; recorded completions
              a check first asks for them              engines   vLLM started, its text and probabilities
                                               scores    who scores tokens; engine, trainer, disk alike

A finding is ok, warn, fail or skipped, and says what to do. A check that meets an error of ours has found a failure.
"""
