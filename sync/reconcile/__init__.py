"""The pass: read both sides, decide, send, store; and one log line about it.

facts       = read_facts(claims)  reads what NPD knows: gather/record_facts.py
facts, plan = gather(facts)       decides what needs no item, reads Monday's items, then the records that they name, and
                                  decides the rest: gather/, by the ordered list of pure rules in decide.py
plan        = send(plan)          stores intents, sends, adds Monday's answers; nothing else calls a mutation
plan        = settle_pass(facts, plan)
                                  locks the rows, compares them with the facts, and writes: settle/
"""
