"""A Monday.com simulator: GraphQL, webhooks, and a board page on which a person plays the Monday user."""
