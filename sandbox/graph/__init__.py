"""Monday's GraphQL: parsed, validated and counted documents (documents.py), and the resolvers of its schema."""
