"""Whether a board may be synced now: Monday's limits, the stops after errors, and the token, shared by all workers.

May a call be made now? `board_limits` tells the worker of a board (`probed_availability`), or why it waits and until
when, and how large the pass may be (`LimitFacts.grant_pass`). `LimitFacts.availability` tells the same without calling
Monday; through `sync.boards.availability`, pages, commands and the API show it. Of one kind of calls, or of those that
belong to no board, `breaker.stop_of_call` tells. A call for which the quota has no room isn't sent in any case.

A *stop* ends calls after errors: of the account, its writes, a board, or one kind of its calls (`breaker`;
`failed_writes` tells an outage from a record at fault). Why, and what follows from it, is its `StopCode`
(sync/choices.py). A *probe* is the call that is tried meanwhile, to find out whether it is over (`probes`). A *wait* is
for the quota and ends by itself (`api_quota`: the limits, what is used of them). `metered_client` makes calls and
counts them; `credentials` holds the secrets.
"""
