"""For PYTHONPATH: this interpreter takes itself for one where the operating system verifies.

The operating system trusts the CA in the PEM file ``STANDIN_ROOT``, and is played by cryptography's verifier, which has
no code in common with OpenSSL's.  ``STANDIN_FAULT`` names an exception that it raises instead, ``STANDIN_CODE`` is the
`verify_code` of what it refuses.
"""

import os

if os.environ.get("TRUSTSTORE_INJECT") != "0":
    from truststore_inject import stores
    from truststore_inject.stores import _native

    asked = []

    def verify(settings, chain, server_hostname=None):
        import builtins

        from cryptography import x509
        from cryptography.x509 import verification

        leaf, *others = (x509.load_der_x509_certificate(certificate) for certificate in chain)
        with open(os.environ["STANDIN_ROOT"], "rb") as file:
            anchors = x509.load_pem_x509_certificates(file.read())
        if server_hostname != "truststore-inject.invalid":
            asked.append(server_hostname)
            if fault := os.environ.get("STANDIN_FAULT"):
                raise getattr(builtins, fault)("made by the test")
        anchors += [x509.load_der_x509_certificate(anchor) for anchor in settings.get_ca_certs(binary_form=True)]
        # trustme's certificates are not what the Web's rules demand (a critical subjectAltName); names are checked here.
        any_leaf = verification.ExtensionPolicy.permit_all().require_present(
            x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
        )
        authorities = verification.ExtensionPolicy.webpki_defaults_ca()
        policy = verification.PolicyBuilder().store(verification.Store(anchors))
        policy = policy.extension_policies(ca_policy=authorities, ee_policy=any_leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
        subject = x509.DNSName(names.get_values_for_type(x509.DNSName)[0])
        if settings.check_hostname and server_hostname not in known:
            raise refusal("another host's certificate")
        try:
            policy.build_server_verifier(subject).verify(leaf, others)
        except verification.VerificationError as error:
            raise refusal(str(error)) from None

    def refusal(text):
        import ssl

        error = ssl.SSLCertVerificationError(text)
        error.verify_message, error.verify_code = text, int(os.environ.get("STANDIN_CODE", "4711"), 0)
        return error

    _native._native_function = lambda: verify
    stores._platform = _native
    stores.describe, stores.interpositions, stores.release = _native.describe, _native.interpositions, _native.release
