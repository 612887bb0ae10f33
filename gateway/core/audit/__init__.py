"""Provenance: the records of every hop, their tamper-evident chain, its verification and its tree.

Pure: time, ids, keys and storage are the caller's.
"""

from gateway.core.audit.build import Attempt, decision_record, outcome_record, refused_record
from gateway.core.audit.canonical import Digest, canonical, canonical_value, digest, token_digest
from gateway.core.audit.chain import Sealed, Signer, begin, checkpoint, extend, link, signed_bytes
from gateway.core.audit.record import (
    AdminCaller,
    AdminRecord,
    AnyRecord,
    ChainFacts,
    CheckpointRecord,
    ConsentRecord,
    DecisionRecord,
    GenesisRecord,
    Head,
    MatchedValue,
    MintedFacts,
    OutcomeRecord,
    PolicyFacts,
    Record,
    RefusedRecord,
    Verdict,
    Workload,
    decode,
    encode,
)
from gateway.core.audit.tree import Node, forest
from gateway.core.audit.verify import Beyond, Fault, Report, Row, verify

__all__ = [
    "AdminCaller",
    "AdminRecord",
    "AnyRecord",
    "Attempt",
    "Beyond",
    "ChainFacts",
    "CheckpointRecord",
    "ConsentRecord",
    "DecisionRecord",
    "Digest",
    "Fault",
    "GenesisRecord",
    "Head",
    "MatchedValue",
    "MintedFacts",
    "Node",
    "OutcomeRecord",
    "PolicyFacts",
    "Record",
    "RefusedRecord",
    "Report",
    "Row",
    "Sealed",
    "Signer",
    "Verdict",
    "Workload",
    "begin",
    "canonical",
    "canonical_value",
    "checkpoint",
    "decision_record",
    "decode",
    "digest",
    "encode",
    "extend",
    "forest",
    "link",
    "outcome_record",
    "refused_record",
    "signed_bytes",
    "token_digest",
    "verify",
]
