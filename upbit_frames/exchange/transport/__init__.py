"""How bytes reach us: REST, WebSocket, archive; limits and retries. Knows no store."""
