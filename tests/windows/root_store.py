"""Runs on Windows: ``root_store.py [CA.pem ...]``: the current user's ROOT store holds exactly these certificates."""

import ctypes
import re
import ssl
import sys
import winreg
from ctypes import wintypes

KEY = r"Software\Microsoft\SystemCertificates\Root\Certificates"
CERT_STORE_PROV_SYSTEM_W, CERT_SYSTEM_STORE_CURRENT_USER = 10, 1 << 16
X509_ASN_ENCODING, CERT_STORE_ADD_REPLACE_EXISTING = 1, 3

crypt32 = ctypes.WinDLL("crypt32.dll", use_last_error=True)
crypt32.CertOpenStore.restype = ctypes.c_void_p
crypt32.CertOpenStore.argtypes = [ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, ctypes.c_wchar_p]
crypt32.CertAddEncodedCertificateToStore.argtypes = [
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_char_p,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.c_void_p,
]
crypt32.CertCloseStore.argtypes = [ctypes.c_void_p, wintypes.DWORD]


def must(result: object) -> object:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result


try:
    key = winreg.OpenKey(winreg.HKEY_CURRENT_USER, KEY, 0, winreg.KEY_ALL_ACCESS)
    while True:
        winreg.DeleteKey(key, winreg.EnumKey(key, 0))
except OSError:  # there is none, or none is left
    pass
store = must(crypt32.CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, None, CERT_SYSTEM_STORE_CURRENT_USER, "Root"))
for path in sys.argv[1:]:
    with open(path) as file:
        for pem in re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", file.read(), re.S):
            der = ssl.PEM_cert_to_DER_cert(pem)
            must(
                crypt32.CertAddEncodedCertificateToStore(
                    store, X509_ASN_ENCODING, der, len(der), CERT_STORE_ADD_REPLACE_EXISTING, None
                )
            )
must(crypt32.CertCloseStore(store, 0))
