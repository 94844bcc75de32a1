"""Who calls: bearer tokens of Microsoft Entra ID, the provider's keys, the site's roles, and the gate before every answer."""
