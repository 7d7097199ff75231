"""The finished student behind HTTP.

    POST /v1/solve --ingress--> Solver.solve --replies.Ask--> n completions (vLLM, Ray's LLM server)
        --Prompter.extract--> programs --Execute--> verdicts (executor pool) --repairs--> attempts --elect--> answer

student     what is served: weights, and how it is asked, from the student's raydistill.json
deployment  the two Ray Serve applications, executors and student; app starts them for `raydistill serve`, builders for
            KubeRay
ingress     the routes; solver answers one question; improver lets TriPosT's students update their answers
"""
