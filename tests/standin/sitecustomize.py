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
        # The Web's rules demand a critical subjectAltName and an extendedKeyUsage that is not; trustme has it otherwise.
        agnostic = verification.Criticality.AGNOSTIC
        any_leaf = verification.ExtensionPolicy.webpki_defaults_ee()
        any_leaf = any_leaf.require_present(x509.SubjectAlternativeName, agnostic, None)
        any_leaf = any_leaf.may_be_present(x509.ExtendedKeyUsage, agnostic, for_servers)
        authorities = verification.ExtensionPolicy.webpki_defaults_ca()
        policy = verification.PolicyBuilder().store(verification.Store(anchors))
        policy = policy.extension_policies(ca_policy=authorities, ee_policy=any_leaf)
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            subject = general_name(server_hostname) if settings.check_hostname else names[0]
            policy.build_server_verifier(subject).verify(leaf, others)
        except (verification.VerificationError, x509.ExtensionNotFound, ValueError) as error:
            raise refusal(str(error)) from None

    def for_servers(policy, certificate, usage):
        from cryptography.x509.oid import ExtendedKeyUsageOID

        if usage is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usage:
            raise ValueError("not for servers")

    def general_name(host):
        import ipaddress

        from cryptography import x509

        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)

    def refusal(text):
        import ssl

        error = ssl.SSLCertVerificationError(text)
        error.verify_message, error.verify_code = text, int(os.environ.get("STANDIN_CODE", "4711"), 0)
        return error

    _native._native_function = lambda: verify
    stores._platform = _native
    for name in ("interpositions", "keep_stock", "release"):
        setattr(stores, name, getattr(_native, name))
