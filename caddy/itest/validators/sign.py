"""Signs a PDF as other software does: sign.py KEY CERTIFICATE FROM TO."""

import sys

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers

key, certificate, source, target = sys.argv[1:]
metadata = signers.PdfSignatureMetadata(field_name="Signature1", subfilter=fields.SigSeedSubFilter.PADES)
with open(source, "rb") as f, open(target, "wb") as out:
    signers.sign_pdf(IncrementalPdfFileWriter(f), metadata, signers.SimpleSigner.load(key, certificate), output=out)
