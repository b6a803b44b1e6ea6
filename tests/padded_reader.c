/* A driver of pcscd's (IFD handler 3.0) that puts a PIN pad onto another one, for tests: everything goes to the driver
 * REAL but for two control codes. What is "typed" stands in the file TYPED: digits, CANCEL, NOTHING or BROKEN; each
 * PIN_VERIFY_STRUCTURE is kept in the file ASKED, one line of hex each. */

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <ifdhandler.h>
#include <reader.h>

#define VERIFY_DIRECT 0x42330006

static void *real(const char *name)
{
    static void *library;
    if (library == NULL)
        library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    return library == NULL ? NULL : dlsym(library, name);
}

#define PASS_ON(name, parameters, arguments)                                    \
    RESPONSECODE name parameters                                                \
    {                                                                           \
        RESPONSECODE(*function) parameters = real(#name);                       \
        return function == NULL ? IFD_NOT_SUPPORTED : function arguments;       \
    }

PASS_ON(IFDHCreateChannelByName, (DWORD lun, LPSTR device), (lun, device))
PASS_ON(IFDHCreateChannel, (DWORD lun, DWORD channel), (lun, channel))
PASS_ON(IFDHCloseChannel, (DWORD lun), (lun))
PASS_ON(IFDHGetCapabilities, (DWORD lun, DWORD tag, PDWORD length, PUCHAR value), (lun, tag, length, value))
PASS_ON(IFDHSetCapabilities, (DWORD lun, DWORD tag, DWORD length, PUCHAR value), (lun, tag, length, value))
PASS_ON(IFDHSetProtocolParameters,
        (DWORD lun, DWORD protocol, UCHAR flags, UCHAR pts1, UCHAR pts2, UCHAR pts3),
        (lun, protocol, flags, pts1, pts2, pts3))
PASS_ON(IFDHPowerICC, (DWORD lun, DWORD action, PUCHAR atr, PDWORD length), (lun, action, atr, length))
PASS_ON(IFDHTransmitToICC,
        (DWORD lun, SCARD_IO_HEADER send, PUCHAR out, DWORD out_length, PUCHAR in, PDWORD in_length, PSCARD_IO_HEADER receive),
        (lun, send, out, out_length, in, in_length, receive))
PASS_ON(IFDHICCPresence, (DWORD lun), (lun))

static void keep(const UCHAR *octets, DWORD length)
{
    FILE *file = fopen(ASKED, "a");
    if (file == NULL)
        return;
    for (DWORD i = 0; i < length; i++)
        fprintf(file, "%02x", octets[i]);
    fputc('\n', file);
    fclose(file);
}

static RESPONSECODE answer(PUCHAR to, LPDWORD length, UCHAR sw1, UCHAR sw2)
{
    to[0] = sw1;
    to[1] = sw2;
    *length = 2;
    return IFD_SUCCESS;
}

static RESPONSECODE verify(DWORD lun, PUCHAR from, DWORD length, PUCHAR to, DWORD room, LPDWORD written)
{
    char typed[64] = "";
    UCHAR command[64];
    PIN_VERIFY_STRUCTURE *asked = (PIN_VERIFY_STRUCTURE *)from;
    DWORD header = offsetof(PIN_VERIFY_STRUCTURE, abData), answered = room;
    SCARD_IO_HEADER send = {1, 0}, receive = {0, 0};
    FILE *file = fopen(TYPED, "r");
    if (file == NULL || fgets(typed, sizeof typed, file) == NULL)
        strcpy(typed, "BROKEN");
    if (file != NULL)
        fclose(file);
    keep(from, length);
    if (room < 2 || strcmp(typed, "BROKEN") == 0)
        return IFD_COMMUNICATION_ERROR;
    if (strcmp(typed, "CANCEL") == 0)
        return answer(to, written, 0x64, 0x01);
    if (strcmp(typed, "NOTHING") == 0)
        return answer(to, written, 0x64, 0x00);
    if (length < header + 5 || asked->ulDataLength != length - header || asked->ulDataLength > sizeof command)
        return answer(to, written, 0x6B, 0x80);
    if (asked->bmFormatString != 0x82 || asked->bmPINBlockString != 8 || asked->bmPINLengthFormat != 0)
        return answer(to, written, 0x6B, 0x80);
    if (strlen(typed) < asked->wPINMaxExtraDigit >> 8 || strlen(typed) > (asked->wPINMaxExtraDigit & 0xFF))
        return answer(to, written, 0x64, 0x03);
    memcpy(command, asked->abData, asked->ulDataLength);
    memcpy(command + 5, typed, strlen(typed));
    RESPONSECODE done = IFDHTransmitToICC(lun, send, command, asked->ulDataLength, to, &answered, &receive);
    *written = answered;
    return done;
}

RESPONSECODE IFDHControl(DWORD lun, DWORD code, PUCHAR from, DWORD length, PUCHAR to, DWORD room, LPDWORD written)
{
    PCSC_TLV_STRUCTURE feature = {FEATURE_VERIFY_PIN_DIRECT, 4, htonl(VERIFY_DIRECT)};
    *written = 0;
    if (code == VERIFY_DIRECT)
        return verify(lun, from, length, to, room, written);
    if (code != CM_IOCTL_GET_FEATURE_REQUEST || room < sizeof feature)
        return IFD_ERROR_NOT_SUPPORTED;
    memcpy(to, &feature, sizeof feature);
    *written = sizeof feature;
    return IFD_SUCCESS;
}
