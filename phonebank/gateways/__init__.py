"""Clients of WhatsApp gateways: no models, no settings; keys come in, frozen values go out."""
