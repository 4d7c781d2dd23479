/* A stand-in for what truststore calls of macOS' CoreFoundation and Security, for Linux.

   It knows which issuer a certificate names, and no cryptography: what is tested on it is who calls what, in which order,
   with what, and what happens to the answers.  Behaviour is that of Apple's published source (the file is named) and of the
   reports that are cited.  Set by variables, read at each call:

   STANDIN_ANCHORS     files with one DER certificate each, separated by ':': what the system trusts
   STANDIN_NO_POLICY   SecPolicyCreateSSL gives NULL, as in a process whose executable is gone (golang/go#54590, #68557)
   STANDIN_UNREADABLE  SecCertificateCreateWithData gives NULL for what holds this text, as for what OpenSSL parses and
                       SecCertificate.c does not (golang/go#51759)
   STANDIN_NO_TRUSTD   every evaluation ends with errSecInternal: a sandbox keeps the process from trustd (openai/codex#5980)
   STANDIN_LAX         no name is looked at */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { errSecInternal = -26276, errSecParam = -50, errSecHostNameMismatch = -67602, errSecNotTrusted = -67843 };
enum { DATA = 1, STRING, ARRAY, CERTIFICATE, POLICY, TRUST, ERROR };

typedef struct object {
    int kind, references;
    long length, code; /* of data; of an error */
    char *bytes;       /* data, a string, the name that a policy looks for */
    struct object **items, *policy, *certificates, *anchors;
    bool anchors_only;
} object;

void *kCFAllocatorDefault = NULL, *kCFTypeArrayCallBacks = NULL;
static long calls; /* of any function below */
static pid_t user; /* the process that used one first */

long standin_calls(void) { return calls; }

static void end(const char *message) {
    fprintf(stderr, "%s\n", message);
    abort();
}

static object *make(int kind, const void *bytes, long length) {
    calls++;
    if (!user) user = getpid();
    /* CFRuntime.c: a forked child of a process that used CoreFoundation is ended when it uses it. */
    if (user != getpid()) end("The process has forked and you cannot use this CoreFoundation functionality safely. You MUST exec().");
    object *made = calloc(1, sizeof *made);
    made->kind = kind;
    made->references = 1;
    made->bytes = calloc(1, length + 1);
    if (bytes) memcpy(made->bytes, bytes, length);
    made->length = length;
    return made;
}

static bool is_set(const char *variable) { return getenv(variable) && *getenv(variable); }

/* CFRuntime.c: "*** CFRetain() called with NULL ***", and the like, end the process. */
object *CFRetain(object *o) {
    if (!o) end("*** CFRetain() called with NULL ***");
    o->references++;
    return o;
}
void CFRelease(object *o) {
    if (!o) end("*** CFRelease() called with NULL ***");
    if (!o->references--) end("an object was released too often");
}
unsigned long CFGetTypeID(object *o) { return o->kind; }

object *CFDataCreate(void *allocator, const void *bytes, long length) { return make(DATA, bytes, length); }
long CFDataGetLength(object *o) { return o->length; }
void *CFDataGetBytePtr(object *o) { return o->bytes; }

object *CFStringCreateWithCString(void *allocator, const char *text, uint32_t encoding) { return make(STRING, text, strlen(text)); }
/* CFString.h: NULL where the internal storage does not allow it to be returned efficiently. */
const char *CFStringGetCStringPtr(object *o, uint32_t encoding) { return NULL; }
bool CFStringGetCString(object *o, char *buffer, long size, uint32_t encoding) {
    if (o->length >= size) return false;
    strcpy(buffer, o->bytes);
    return true;
}

object *CFArrayCreateMutable(void *allocator, long capacity, void *callbacks) { return make(ARRAY, NULL, 0); }
object *CFArrayCreate(void *allocator, object **values, long count, void *callbacks) { return make(ARRAY, NULL, 0); }
void CFArrayAppendValue(object *array, object *value) {
    array->items = realloc(array->items, (array->length + 1) * sizeof *array->items);
    array->items[array->length++] = CFRetain(value); /* kCFTypeArrayCallBacks.retain */
}
long CFArrayGetCount(object *array) { return array->length; }
void *CFArrayGetValueAtIndex(object *array, long index) { return array->items[index]; }

long CFErrorGetCode(object *error) { return error->code; }
object *CFErrorCopyDescription(object *error) { return make(STRING, error->bytes, error->length); }

object *SecCertificateCreateWithData(void *allocator, object *data) {
    const char *text = getenv("STANDIN_UNREADABLE");
    if (text && *text && memmem(data->bytes, data->length, text, strlen(text))) return NULL;
    return make(CERTIFICATE, data->bytes, data->length);
}
object *SecCertificateCopyData(object *certificate) { return make(DATA, certificate->bytes, certificate->length); }
object *SecCopyErrorMessageString(int32_t status, void *reserved) { return make(STRING, "parameter", 9); }

/* SecPolicy.c: without a name none is looked for. */
object *SecPolicyCreateSSL(bool server, object *name) {
    if (is_set("STANDIN_NO_POLICY")) return NULL;
    object *policy = make(POLICY, name ? name->bytes : NULL, name ? name->length : 0);
    policy->code = name != NULL;
    return policy;
}
object *SecPolicyCreateRevocation(uint32_t flags) { return make(POLICY, NULL, 0); }

/* SecTrust.c: no policies are SecPolicyCreateBasicX509(), which looks at no name and no purpose. */
int32_t SecTrustCreateWithCertificates(object *certificates, object *policies, object **trust) {
    if (!certificates || !trust) return errSecParam;
    *trust = make(TRUST, NULL, 0);
    (*trust)->certificates = CFRetain(certificates);
    (*trust)->policy = policies ? CFRetain(policies) : NULL;
    return 0;
}
/* SecTrust.c: anchors of one's own are the only ones, until SecTrustSetAnchorCertificatesOnly says otherwise. */
int32_t SecTrustSetAnchorCertificates(object *trust, object *anchors) {
    if (!trust) return errSecParam;
    trust->anchors = CFRetain(anchors);
    trust->anchors_only = true;
    return 0;
}
int32_t SecTrustSetAnchorCertificatesOnly(object *trust, bool only) {
    trust->anchors_only = only;
    return 0;
}
int32_t SecTrustGetTrustResult(object *trust, uint32_t *result) {
    *result = 5; /* kSecTrustResultRecoverableTrustFailure */
    return 0;
}
int32_t SecTrustEvaluate(object *trust, uint32_t *result) { return SecTrustGetTrustResult(trust, result); }

/* The element of DER at `at`: its end, and in `content` where its content begins (X.690, section 8.1). */
static long element(const unsigned char *der, long at, long *content) {
    long length = der[at + 1], start = at + 2;
    if (length & 0x80) {
        int bytes = length & 0x7f;
        for (length = 0; bytes--; start++) length = length << 8 | der[start];
    }
    *content = start;
    return start + length;
}

/* The issuer (0) or the subject (2) of a certificate, which follow the serial number and the algorithm (RFC 5280, 4.1). */
static const char *name_of(object *certificate, int which, long *length) {
    const unsigned char *der = (unsigned char *)certificate->bytes;
    long at, content;
    element(der, 0, &at);
    element(der, at, &at);
    if (der[at] == 0xa0) at = element(der, at, &content);
    for (int skipped = 0; skipped < 2 + which; skipped++) at = element(der, at, &content);
    *length = element(der, at, &content) - at;
    return certificate->bytes + at;
}

static bool issued(object *issuer, object *certificate) {
    long subject_length, issuer_length;
    const char *subject = name_of(issuer, 2, &subject_length), *named = name_of(certificate, 0, &issuer_length);
    return subject_length == issuer_length && !memcmp(subject, named, issuer_length);
}

static bool same(object *one, object *other) { return one->length == other->length && !memcmp(one->bytes, other->bytes, one->length); }

/* SecTrustServer.c: an anchor ends a chain, whether it has signed itself or not. */
static bool reaches(object *certificate, object *trust, int depth) {
    for (long i = 0; trust->anchors && i < trust->anchors->length; i++) {
        object *anchor = trust->anchors->items[i];
        if (same(anchor, certificate) || issued(anchor, certificate)) return true;
    }
    char paths[4096];
    snprintf(paths, sizeof paths, "%s", getenv("STANDIN_ANCHORS") ? getenv("STANDIN_ANCHORS") : "");
    for (char *rest = paths, *path; !trust->anchors_only && (path = strtok_r(rest, ":", &rest));) {
        char der[8192];
        FILE *file = fopen(path, "rb");
        if (!file) continue;
        object anchor = {.bytes = der, .length = fread(der, 1, sizeof der, file)};
        fclose(file);
        if (issued(&anchor, certificate)) return true;
    }
    for (long i = 1; depth && i < trust->certificates->length; i++)
        if (issued(trust->certificates->items[i], certificate) && reaches(trust->certificates->items[i], trust, depth - 1)) return true;
    return false;
}

static bool refuse(object **error, long code, const char *text) {
    *error = make(ERROR, text, strlen(text));
    (*error)->code = code;
    return false;
}

bool SecTrustEvaluateWithError(object *trust, object **error) {
    object *leaf = trust->certificates->items[0], *policy = trust->policy;
    if (is_set("STANDIN_NO_TRUSTD")) return refuse(error, errSecInternal, "The operation could not be completed. (OSStatus error -26276.)");
    if (!reaches(leaf, trust, 4)) return refuse(error, errSecNotTrusted, "certificate is not trusted");
    if (!is_set("STANDIN_LAX") && policy && policy->code && !memmem(leaf->bytes, leaf->length, policy->bytes, policy->length))
        return refuse(error, errSecHostNameMismatch, "certificate name does not match input");
    return true;
}
