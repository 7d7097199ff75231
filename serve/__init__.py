"""Finished students behind HTTP.

    POST /v1/solve --ingress--> Solver.solve --Answerer--> n completions (vLLM, Ray's LLM server)
        --Prompter.read--> programs --executor pool--> verdicts --follow-ups--> answers --elect--> answer

student     what is served: weights, and how it is asked, from the student's raydistill.json
students/   several in one service: names, shared engines, those who come and go
deployment  the Ray Serve applications, executors and students; app starts them for `raydistill serve`, builders for
            KubeRay
admission/  who may ask, how much, and until when: API keys, limits, deadlines
solving/    one question: samples, programs and vote, each as it comes
engines/    the replica around vLLM; calls is how it is asked
front       what every request meets first, around Ray Serve's proxy and around the routes: id, size of the body
routes      the HTTP application, and ingress what it asks; reading and problems are bodies in and failures out, openai/
            is OpenAI's part of it
solver      answers one question, as the student's recipe has it answer in an evaluation
"""
