<%-- Returns the path and the identity that a servlet receives. --%><%@
page contentType="text/plain; charset=iso-8859-1" session="false" trimDirectiveWhitespaces="true" %><%
request.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
out.print("path: " + request.getServletPath() + "\n");
for (String name : new String[] {"SUBJECT", "TOKEN_ID", "SCOPES", "HANDLER", "EXPIRES"}) {
    String value = request.getHeader("X-Auth-" + name.replace('_', '-'));
    out.print(name + ": " + (value == null ? "" : value) + "\n");
}
%>
