"""One-time-password tokens, phone apps and EPCS grants: the other ways in which a prescriber cannot sign.

Judgement lives in modules that touch nothing (`codes`, `validation`, `throttle`, `serials`, `npi`, `forms`, `tickets`,
`soft_causes`, `reregistration`, `grants`, `leases`, `explain`); what speaks to a vendor, an EHR or a database lives
beside it (`store`, `vendor`, `ehr_http`, `desk_client`). The seams between them are `authority` and `ehr`.
"""
