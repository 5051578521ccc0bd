"""Prints what pyHanko says of files.

The argument is a trusted certificate. Each line of input is the path of a file, for which
there are lines of output, and an empty line.
"""

import asyncio
import logging
import sys
from datetime import datetime, timedelta, timezone

from pyhanko.keys import load_cert_from_pemder
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature, async_validate_pdf_timestamp
from pyhanko.sign.validation.ades import ades_lta_validation, simulate_future_ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager


async def judge(root, path):
    with open(path, "rb") as f:
        reader = PdfFileReader(f)
        if reader.xrefs.hybrid_xrefs_present:  # pyHanko refuses to validate these otherwise
            reader = PdfFileReader(f, strict=False)
        for s in reader.embedded_signatures:
            validate = async_validate_pdf_timestamp if s.sig_object["/Type"] == "/DocTimeStamp" else async_validate_pdf_signature
            status = await validate(s, ValidationContext(trust_roots=[root], allow_fetching=False))
            verdict = "ok"
            if not (status.intact and status.valid):
                verdict = "fails"
            elif not status.trusted:
                verdict = "untrusted"
            elif not getattr(status, "bottom_line", True):  # other changes than are allowed
                verdict = "changed"
            signer = status.signing_cert.subject.native["common_name"]
            print(f"pyhanko: {verdict}, covers {status.coverage.name}, by {signer}")
        spec = PdfSignatureValidationSpec(
            SignatureValidationSpec(
                CertValidationPolicySpec(SimpleTrustManager.build(trust_roots=[root]), CertRevTrustPolicy(REQUIRE_REVINFO)),
                RevocationInfoGatheringSpec(RevinfoOnlineFetchingRule.LOCAL_ONLY),
            )
        )
        # A person's certificate is valid for minutes, and a signature is validated later.
        later = datetime.now(timezone.utc) + timedelta(hours=2)
        for s in reader.embedded_regular_signatures:
            print("pyhanko LTA now:", (await ades_lta_validation(s, spec)).ades_subindic)
            print("pyhanko LTA later:", (await simulate_future_ades_lta_validation(s, spec, later)).ades_subindic)


async def main():
    logging.disable(logging.CRITICAL)  # what is wrong with a file is printed
    root = load_cert_from_pemder(sys.argv[1])
    for line in sys.stdin:
        try:
            await judge(root, line.rstrip("\n"))
        except Exception as e:
            print("pyhanko:", type(e).__name__, e)
        print()


asyncio.run(main())
