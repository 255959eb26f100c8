"""The shapes of replies, for openapi.json: what a reply has in JSON stands here as types, a file for each subject."""
