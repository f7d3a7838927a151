"""A faithful IoTCall on this machine: every endpoint, believable logs, and faults that can be switched on."""

from edge_agent.iotcall.sandbox.faults import Fault, FaultKind
from edge_agent.iotcall.sandbox.numbers import Number, RuleKind
from edge_agent.iotcall.sandbox.phones import Activation, Does, Person
from edge_agent.iotcall.sandbox.server import Sandbox
from edge_agent.iotcall.sandbox.service import Call
from edge_agent.iotcall.sandbox.webhook import Webhook, WebhookStyle

__all__ = [
    "Activation",
    "Call",
    "Does",
    "Fault",
    "FaultKind",
    "Number",
    "Person",
    "RuleKind",
    "Sandbox",
    "Webhook",
    "WebhookStyle",
]
