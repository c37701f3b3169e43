"""The pass: read both sides, decide, send, store; and one log line about it.

facts = read_claims(claims)      reads what NPD knows: gather/record_facts.py
decide(facts, plan, rules)       decides what needs no item, by the ordered list of pure rules in run.py
gather(facts, plan)              adds the items of the records that are left, and the records that they name: gather/
decide(facts, plan, rules)       decides the rest: rules fill in the plan, and leave the facts as they are
send_plan(facts, plan)           stores intents, sends, adds Monday's answers; nothing else of a pass calls a mutation
plan  = settle_pass(facts, plan) locks the rows, compares them with the facts, and writes: settle/
"""
