"""An agent of goals, actions, memory and environment; it knows nothing of invoices or files."""

from pipeline.agent.action import Action, ActionRegistry, ToolError, register_tool
from pipeline.agent.agent import Agent, SessionLimits, SessionOutcome, StopReason
from pipeline.agent.context import ActionContext, CompletionSettings
from pipeline.agent.environment import ActionResult, Environment
from pipeline.agent.goal import Goal
from pipeline.agent.json_answer import prompt_llm_for_json
from pipeline.agent.json_language import AdaptiveLanguage, JsonActionLanguage
from pipeline.agent.language import AgentLanguage, FunctionCallingLanguage, LanguageSettings, Prompt
from pipeline.agent.memory import Memory, MemoryItem, MemoryType
from pipeline.agent.steps import DirectSteps, Meter, MeteredModel, SteppedModel, Steps

__all__ = [
    "Action",
    "ActionContext",
    "ActionRegistry",
    "ActionResult",
    "AdaptiveLanguage",
    "Agent",
    "AgentLanguage",
    "CompletionSettings",
    "DirectSteps",
    "Environment",
    "FunctionCallingLanguage",
    "Goal",
    "JsonActionLanguage",
    "LanguageSettings",
    "Memory",
    "MemoryItem",
    "MemoryType",
    "Meter",
    "MeteredModel",
    "Prompt",
    "SessionLimits",
    "SessionOutcome",
    "SteppedModel",
    "Steps",
    "StopReason",
    "ToolError",
    "prompt_llm_for_json",
    "register_tool",
]
